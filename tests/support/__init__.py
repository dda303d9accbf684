"""What the tests share. Whichever part of it is imported first, the logs are set up as in Lambda before that."""

from tests.support.log_lines import write_logs_as_lambda_does

write_logs_as_lambda_does()
