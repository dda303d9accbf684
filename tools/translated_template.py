# /// script
# requires-python = ">=3.11"
# dependencies = ["aws-sam-translator==1.115.0", "pyyaml"]
# ///
"""What AWS makes of a SAM template: reads one as JSON from standard input, and writes CloudFormation's as JSON.

A script with an environment of its own (PEP 723, locked in translated_template.py.lock), because the translator holds
back libraries that the functions use.
"""

import json
import logging
import os
import sys

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator


def main() -> None:
    """Translate; where code has not been packaged, it is said to be in a bucket."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    # It warns that it cannot ask AWS which of its features are switched on; what is wrong with a template, it raises.
    logging.disable(logging.WARNING)
    document = json.load(sys.stdin)
    for resource in document["Resources"].values():
        for name in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][name] = "s3://bucket/key"
    json.dump(Translator({}, Parser()).translate(document, {}), sys.stdout)


main()
