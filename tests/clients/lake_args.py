"""Which lake a script looks at: the arguments they share, and PyIceberg's catalog over them."""

import argparse
import os


def add_lake_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("--catalog-uri", required=True, help="sqlite:////path/to/catalog.db")
    parser.add_argument("--catalog-name", default="ingot")
    parser.add_argument("--warehouse", required=True, help="file:///folder or s3://bucket/prefix")
    parser.add_argument("--s3-endpoint", default=os.environ.get("INGOT_TEST_S3_ENDPOINT"))


def open_catalog(args):
    from pyiceberg.catalog.sql import SqlCatalog

    properties = {"uri": args.catalog_uri, "warehouse": args.warehouse}
    if args.warehouse.startswith("s3://"):
        properties |= {
            "s3.endpoint": args.s3_endpoint,
            "s3.access-key-id": os.environ["INGOT_TEST_S3_ACCESS_KEY"],
            "s3.secret-access-key": os.environ["INGOT_TEST_S3_SECRET_KEY"],
            "s3.region": "us-east-1",
            "s3.path-style-access": "true",
        }
    return SqlCatalog(args.catalog_name, **properties)
