"""``uv run mail``: show the mails of the local mailbox, check a deployer's texts, and end a pause after bounces."""

import argparse
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Final

from auth_common.errors import ServiceError
from auth_common.mail.bounce_rate import resume_mail
from auth_common.mail.rendering import check_texts
from auth_common.settings import settings
from tools.operators.operator_command import error_text, operator_command, print_result

#: Mails that ``list`` shows.
_MAX_MAILS: Final = 20
#: ``make sam`` keeps its data in this Docker volume (tools/template/sam_local.py).
_SAM_VOLUME: Final = "secure-backend-data"
#: The image that the functions of ``make sam`` run in, so it is on the machine already.
_SAM_IMAGE: Final = "public.ecr.aws/lambda/python:3.13-x86_64"
#: The image has no tar.
_ARCHIVE: Final = "import sys, tarfile; tarfile.open(fileobj=sys.stdout.buffer, mode='w|').add('/data/mail', 'mail')"


class MailboxUnreadable(Exception):
    """The mailbox of ``make sam`` cannot be read. The message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="mail", description=__doc__)
    parser.add_argument("--sam", action="store_true", help="read the mailbox of make sam, in its Docker volume")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("list", help="list the newest mails (the default)")
    show = commands.add_parser("show", help="print the text of a mail")
    show.add_argument("number", type=int, nargs="?", default=1, help="its number in the list; 1 is the newest")
    commands.add_parser("check", help="check the texts in MAIL_TEXTS_DIR")
    commands.add_parser("resume", help="send mail to new addresses again, which bounces have paused")
    options = parser.parse_args(arguments)
    try:
        if options.command == "check":
            check_texts()
            return print_result("all texts are valid")
        if options.command == "resume":
            with operator_command("mail"):
                is_resumed = resume_mail()
            return print_result("mail is sent again" if is_resumed else "mail was not paused")
        mails = _mails_of_sam() if options.sam else _mails_of_the_data_folder()
    except (ServiceError, MailboxUnreadable) as error:
        text = error_text(error) if isinstance(error, ServiceError) else str(error)
        sys.stderr.write(f"mail: {text}\n")
        return 1
    if options.command != "show":
        return print_result("\n".join(map(_line, range(1, len(mails) + 1), mails)) or "there is no mail")
    if not 1 <= options.number <= len(mails):
        sys.stderr.write(f"mail: there is no mail {options.number}\n")
        return 1
    return print_result(_text(mails[options.number - 1]))


def _mails_of_the_data_folder() -> list[EmailMessage]:
    """Return the newest mails, the newest first."""
    files = sorted((settings().storage() / "mail").glob("*.eml"), reverse=True)
    return [_parse(file.read_bytes()) for file in files[:_MAX_MAILS]]


def _mails_of_sam() -> list[EmailMessage]:
    """Return the newest mails in the volume of ``make sam``, the newest first.

    Raises:
        MailboxUnreadable: Docker, the volume or the mailbox is missing.

    """
    volume = os.environ.get("SAM_LOCAL_VOLUME", _SAM_VOLUME)
    command = [
        *("docker", "run", "--rm", "--pull", "never", "--network", "none", "--volume", f"{volume}:/data:ro"),
        *("--entrypoint", "python3", _SAM_IMAGE, "-c", _ARCHIVE),
    ]
    try:
        done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - no part of it is input of others
    except FileNotFoundError:
        raise MailboxUnreadable("Docker is not installed") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        message = f"the volume {volume} has no mailbox, or make sam has not run yet: {reason}"
        raise MailboxUnreadable(message) from None
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        members = sorted(
            (member for member in archive if member.name.endswith(".eml") and member.isfile()),
            key=lambda member: member.name,
        )
        contents = [archive.extractfile(member) for member in reversed(members[-_MAX_MAILS:])]
        return [_parse(content.read()) for content in contents if content]


def _parse(content: bytes) -> EmailMessage:
    return message_from_bytes(content, _class=EmailMessage, policy=default)


def _line(number: int, mail: EmailMessage) -> str:
    return f"{number:>2}  {mail['Date']}  {mail['To']}  {mail['Subject']}"


def _text(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    text = part.get_content().replace("\r\n", "\n") if part else ""
    return f"From: {mail['From']}\nTo: {mail['To']}\nSubject: {mail['Subject']}\nDate: {mail['Date']}\n\n{text}"
