"""The order of template.yaml: a reader finds the whole definition of a function in one place."""

import re
from itertools import pairwise

import pytest

from local_runtime.cloudformation import read_template
from tests.support.deployment import TEMPLATE

pytestmark = [pytest.mark.deployment]


def test_each_function_is_followed_by_its_role():
    resources = read_template(TEMPLATE)["Resources"]
    next_resource = dict(pairwise(resources))
    functions = [name for name, each in resources.items() if each["Type"] == "AWS::Serverless::Function"]
    roles = {name: next_resource[name] for name in functions}
    assert roles == {name: f"{name.removesuffix('Function')}Role" for name in functions}


def test_contents_of_the_template_list_its_sections():
    text = TEMPLATE.read_text()
    header, _, rest = text.partition("AWSTemplateFormatVersion")
    contents = re.findall(r"^#   (.+)$", header, re.MULTILINE)
    assert contents
    assert re.findall(r"^  # =+\n  # (.+)$", rest, re.MULTILINE) == contents
