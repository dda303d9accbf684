# /// script
# requires-python = ">=3.11"
# dependencies = ["aws-sam-translator==1.115.0", "pyyaml"]
# ///
"""What AWS makes of SAM templates: reads each as a line of JSON from standard input, and writes CloudFormation's so.

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
    """Translate line after line. Code that has not been packaged is said to be in a bucket."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    # It warns that it cannot ask AWS which of its features are switched on; what is wrong with a template, it raises.
    logging.disable(logging.WARNING)
    for line in sys.stdin:
        document = json.loads(line)
        for resource in document["Resources"].values():
            for name in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
                resource["Properties"][name] = "s3://bucket/key"
        sys.stdout.write(json.dumps(Translator({}, Parser()).translate(document, {})) + "\n")
        sys.stdout.flush()


main()
