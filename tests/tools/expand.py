"""Prints a SAM template as the plain CloudFormation template into which AWS expands it: expand.py TEMPLATE

Neither sam validate nor cfn-lint checks SAM's own resources: both accept a runtime that does not exist, or a timeout
of an hour. In the expanded template, cfn-lint finds both.
"""

import json
import sys

from boto3 import Session
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

with open(sys.argv[1], encoding="utf-8") as file:
    template = yaml_parse(file)

for resource in template["Resources"].values():
    # `sam deploy` uploads the code and writes its location here.
    if "CodeUri" in resource.get("Properties", {}):
        resource["Properties"]["CodeUri"] = "s3://bucket/key"

# The template uses no managed policies, and this makes no call to AWS: the Region only decides the partition.
translator = Translator({}, Parser(), boto_session=Session(region_name="us-east-1"))
expanded = translator.translate(template, parameter_values={})
json.dump(expanded, sys.stdout, indent=2)
