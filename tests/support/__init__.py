"""Helpers of the tests. Importing any of them first sets up logging as in Lambda."""

from tests.support.log_lines import write_logs_as_lambda_does

write_logs_as_lambda_does()
