// A gofakes3 for the tests: `gofakes3 ADDRESS`, in memory, buckets made when they are named.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

func main() {
	server := gofakes3.New(s3mem.New())
	log.Fatal(http.ListenAndServe(os.Args[1], server.Server()))
}
