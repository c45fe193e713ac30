"""Runs the program that the setting `step` names."""

import importlib

import pulumi

importlib.import_module(pulumi.Config().get("step") or "new")
