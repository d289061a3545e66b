"""The store as Python processes of the comparison reach it. Where it is comes by the environment, as for every program."""

import os

from pyarrow.fs import S3FileSystem

#: Environment of every process: the endpoint (http://host:port) and its credentials, under the names that AWS' own tools read.
ENDPOINT, KEY, SECRET = "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
REGION = "us-east-1"


def connect() -> S3FileSystem:
    """pyarrow's client, for making, listing and removing objects. A small object is one request, not a multipart upload."""
    return S3FileSystem(
        access_key=os.environ[KEY],
        secret_key=os.environ[SECRET],
        endpoint_override=os.environ[ENDPOINT],
        region=REGION,
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
        allow_delayed_open=True,
    )
