"""``uv run publish-pages BUCKET``: upload the pages in public/ to the bucket of a deployment (output PagesBucketName).

It needs AWS credentials that may write to the bucket, and AWS_DEFAULT_REGION. Earlier versions of scripts and styles
stay in the bucket, for pages that are open in a browser.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from auth_common.aws_calls import call_aws
from auth_common.errors import ServiceUnavailable
from tools.pages.versioned import versioned_files

_PUBLIC: Final = Path(__file__).parents[2] / "public"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="publish-pages", description=__doc__)
    parser.add_argument("bucket", help="the name of the bucket")
    options = parser.parse_args(arguments)
    files = versioned_files(_PUBLIC)
    for file in files:
        try:
            call_aws(
                "s3",
                "put_object",
                Bucket=options.bucket,
                Key=file.key,
                Body=file.content,
                ContentType=file.media_type,
                CacheControl=file.cache_control,
            )
        except ServiceUnavailable as error:
            sys.stderr.write(f"publish-pages: {file.key}: {error.__cause__}\n")
            return 1
    sys.stdout.write(f"published {len(files)} files\n")
    return 0
