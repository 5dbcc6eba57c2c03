"""Secrets in text are found and replaced."""

import pytest

from experiment.system.secrets import redact

SECRETS = [
    "ghp_" + "a1" * 18,
    "github_pat_" + "a1" * 30,
    "glpat-" + "x" * 20,
    "AKIA" + "ABCDEFGH12345678",
    "hf_" + "Ab" * 17,
    "sk-" + "Ab1" * 10,
    "xoxb-1234567890-abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_token_is_found_by_its_shape(secret):
    assert redact(f"before {secret} after") == "before [redacted] after"


def test_a_known_secret_of_any_shape_is_redacted():
    assert redact("x=plain y", ["plain", None, ""]) == "x=[redacted] y"


def test_credentials_in_an_url_are_redacted():
    url = "https://someone:secretword@example.org/repo.git"
    assert redact(url) == "https://[redacted]@example.org/repo.git"


def test_an_assigned_secret_is_redacted_and_its_name_kept():
    text = "COMET_API_KEY=abcdefghij0123456789xyz"
    assert redact(text) == "COMET_API_KEY=[redacted]"


@pytest.mark.parametrize(
    "text", ["layer-1-size = 128", "runs/0123456789abcdef0123456789abcdef01234567", "https://example.org/a@b"]
)
def test_ordinary_text_stays_as_it_is(text):
    assert redact(text) == text
