"""The pages as a deployment serves them: versioned files, their header fields, and their upload."""

import re
import shutil

import boto3
import pytest

from tests.support.aws_services import REGION, returning_error
from tests.support.runtime import PROJECT
from tools.pages import publish
from tools.pages.versioned import IMMUTABLE, versioned_files

pytestmark = pytest.mark.pages

PUBLIC = PROJECT / "public"
BUCKET = "pages-of-the-tests"


@pytest.fixture
def public(tmp_path):
    return shutil.copytree(PUBLIC, tmp_path / "public")


def published(folder):
    return {file.key: file for file in versioned_files(folder)}


def version(folder):
    (found,) = {key.split("/")[1] for key in published(folder) if key.startswith("assets/")}
    return found


def test_every_file_is_published_once_and_pages_come_last():
    files = versioned_files(PUBLIC)
    names = {re.sub(r"^assets/[0-9a-f]{16}/", "", file.key) for file in files}
    assert names == {path.relative_to(PUBLIC).as_posix() for path in PUBLIC.rglob("*") if path.is_file()}
    assert len(files) == len(names)
    are_pages = [file.key.endswith(".html") for file in files]
    assert are_pages == sorted(are_pages)
    assert any(are_pages)


def test_pages_name_only_versioned_files():
    """Everything but a link is loaded from the folder, so a page and its files belong together."""
    files = published(PUBLIC)
    for page in (file for key, file in files.items() if key.endswith(".html")):
        loaded = re.findall(r'<(?:script|link|img)\b[^>]*?\b(?:src|href)="([^"]+)"', page.content.decode())
        assert loaded
        assert set(loaded) <= files.keys()
        assert all(path.startswith("assets/") for path in loaded)
        # Nothing else has changed.
        original = (PUBLIC / page.key).read_text()
        assert re.sub(r"assets/[0-9a-f]{16}/", "", page.content.decode()) == original


def test_only_versioned_files_may_be_kept():
    for key, file in published(PUBLIC).items():
        assert file.cache_control == (IMMUTABLE if key.startswith("assets/") else "no-cache")


def test_changed_file_gets_another_name_and_a_changed_page_does_not(public):
    before = version(public)
    (public / "index.html").write_text('<a href="security.html">x</a>')
    assert version(public) == before
    script = next(public.rglob("*.js"))
    script.write_text(script.read_text() + " ")
    assert version(public) != before
    (public / "more.css").touch()
    with_another_file = version(public)
    (public / "more.css").rename(public / "other.css")
    assert len({before, with_another_file, version(public)}) == 3


def test_links_to_pages_paths_and_other_sites_stay(public):
    for text in (
        '<a href="security.html">',
        '<a href="/health">',
        '<a href="https://x.example/icon.svg">',
        '<a href="#m">',
    ):
        (public / "index.html").write_text(text)
        assert published(public)["index.html"].content.decode() == text
    (public / "index.html").write_text('<img src="icon.svg#part">')
    assert published(public)["index.html"].content.decode() == f'<img src="assets/{version(public)}/icon.svg#part">'


@pytest.mark.parametrize(("name", "reason"), [("page.php", "media type"), ("x/page.html", "must be in")])
def test_file_that_cloudfront_cannot_serve_is_rejected(public, name, reason):
    (public / name).parent.mkdir(exist_ok=True)
    (public / name).touch()
    with pytest.raises(ValueError, match=reason):
        versioned_files(public)


@pytest.mark.usefixtures("environment", "aws")
def test_command_uploads_files_with_type_and_cache_control(capsys):
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    assert publish.main([BUCKET]) == 0
    files = published(PUBLIC)
    assert capsys.readouterr().out == f"published {len(files)} files\n"
    for key, file in files.items():
        stored = s3.get_object(Bucket=BUCKET, Key=key)
        assert stored["Body"].read() == file.content
        assert (stored["ContentType"], stored["CacheControl"]) == (file.media_type, file.cache_control)


@pytest.mark.usefixtures("environment", "aws")
def test_command_names_the_file_that_it_could_not_upload(capsys):
    with returning_error("AccessDenied", service="s3"):
        assert publish.main([BUCKET]) == 1
    assert re.match(r"publish-pages: assets/\S+: .*", capsys.readouterr().err)
