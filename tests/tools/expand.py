"""Prints the SAM template named on the command line as the plain CloudFormation that AWS makes of it.

Neither sam validate nor cfn-lint looks behind the word "Serverless": a runtime that does not exist, or a time-out of
an hour, passes both.
In the expanded template cfn-lint finds them.
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
    # `sam deploy` uploads the code and puts its place here.
    if "CodeUri" in resource.get("Properties", {}):
        resource["Properties"]["CodeUri"] = "s3://bucket/key"

# No managed policies to look up, and no call to AWS: the Region only decides the partition.
translator = Translator({}, Parser(), boto_session=Session(region_name="us-east-1"))
expanded = translator.translate(template, parameter_values={})
json.dump(expanded, sys.stdout, indent=2)
