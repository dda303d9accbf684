"""The service in SAM's containers."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from tests.support.factories import registration
from tests.support.runtime import PROJECT
from tests.support.sam import containers_with, count_users, require_docker, running_plain_sam

pytestmark = [pytest.mark.operations, pytest.mark.sam, pytest.mark.xdist_group("sam")]


@pytest.fixture
def client(sam):
    with httpx.Client(base_url=sam.url, timeout=60) as client:
        yield client


def test_three_containers_share_one_database(sam, client):
    body = registration(email=f"{uuid4()}@example.com")

    user = client.post("/users", json=body)
    assert user.status_code == 201
    pair = client.post("/login", json={"email": body["email"], "password": body["password"]})
    assert pair.status_code == 200
    path = user.headers["Location"]
    fetched = client.get(path, headers={"Authorization": f"Bearer {pair.json()['access_token']}"})

    assert fetched.status_code == 200
    assert fetched.json() == user.json()
    assert len(containers_with(sam.volume)) >= 3


@pytest.mark.parametrize(
    "file", ["index.html", "scripts/main.js", "styles/page.css", "security.html", "vendor/uplot/uPlot.esm.js"]
)
def test_page_is_served(client, file):
    assert client.get(f"/{file}").raise_for_status().content == (PROJECT / "public" / file).read_bytes()


def test_hundred_parallel_requests_in_two_containers_all_succeed(sam, client):
    known = client.post("/users", json=registration(email=f"{uuid4()}@example.com"))
    login = {"email": known.json()["email"], "password": registration()["password"]}
    before = count_users(sam.volume)

    def call(number):
        # Every fifth request is served by another container, which writes to the same file.
        if number % 5 == 0:
            return client.post("/login", json=login).status_code
        return client.post("/users", json=registration(email=f"{uuid4()}@example.com")).status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(call, range(100)))

    assert statuses == [200 if number % 5 == 0 else 201 for number in range(100)]
    assert count_users(sam.volume) == before + 80


def test_functions_without_the_volume_return_503_and_name_make_sam(tmp_path):
    require_docker()
    with running_plain_sam(tmp_path / "sam.log") as url:
        response = httpx.post(f"{url}/users", json=registration(), timeout=120)

    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Retry-After"]
    assert response.json()["code"] == "storage_not_mounted"
    assert "make sam" in response.json()["detail"]
