"""The version of the project, written once."""

VERSION = "0.1.0"
