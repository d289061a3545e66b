//! s3sync
fn main(){}
