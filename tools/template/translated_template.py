# /// script
# requires-python = ">=3.11"
# dependencies = ["aws-sam-translator==1.115.0", "pyyaml"]
# ///
"""Translate SAM templates to CloudFormation templates with AWS's translator.

Each line of standard input is a SAM template as JSON, and each line of standard output a CloudFormation template. The
script has an environment of its own (PEP 723, locked in translated_template.py.lock), because the translator pins old
versions of libraries that the functions use.
"""

import json
import logging
import os
import sys

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator


def main() -> None:
    """Translate each line. The code is not packaged, so its location becomes a placeholder in S3."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    # Its warnings say that it cannot load feature toggles from AWS. Errors of a template are exceptions.
    logging.disable(logging.WARNING)
    for line in sys.stdin:
        document = json.loads(line)
        for resource in document["Resources"].values():
            for name in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
                resource["Properties"][name] = "s3://bucket/key"
        sys.stdout.write(json.dumps(Translator({}, Parser()).translate(document, {})) + "\n")
        sys.stdout.flush()


main()
