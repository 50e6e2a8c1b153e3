"""Which secrets are too weak to sign tokens with: short ones, repetitive ones, and those of documentation."""

import re

_MINIMUM_BYTES = 32
# What is left of a placeholder without its words: a company's name, a year.
_FEWEST_CHARACTERS_BESIDE_WORDS = 8
# Beyond this many different triples of characters, a secret is long enough to repeat a few.
_ENOUGH_TRIPLES = 64

# Values that look random and stand in documentation, in lower case.
_DOCUMENTED = frozenset(
    {
        # FastAPI's tutorial on OAuth2 with JWT.
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        # Flask's quick start, and its page on configuration.
        "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
    }
)
# The words that placeholders are made of, and walks over a keyboard. None consists of two others: that would make the
# search below slow.
_WORDS = (
    "0123456789 123456789 1234567890 abcdefghijklmnopqrstuvwxyz algorithm and app application asdfghjkl at auth "
    "backend bar base baz be bearer before bit bits by bytes change char character characters chars company "
    "cookie default demo deploy deployment dev development django do dont dummy easy encryption enter env "
    "environment example fastapi fill fixme flask foo for generate generated goes here hs i in insert internal is "
    "it jwt key keys least length local localhost long me min minimum more must my never no not of or pass "
    "password phrase placeholder please private prod production put qwerty qwertyuiop random really replace safe "
    "sample secret secrets secure security server session sessions setting settings should sign signing some "
    "something stage staging string strong super test testing text the this to token tokens top use user users "
    "value very with you your yours zxcvbnm "
)
_RUN = re.compile(r"[a-z]+|[0-9]+|[^a-z0-9]+", re.IGNORECASE)
_OF_WORDS = re.compile("(?:{})+".format("|".join(_WORDS.split())), re.IGNORECASE)
_BETWEEN_WORDS = re.compile(r"[-_\s.,:;!?/]+")


def secret_key_problem(secret: str) -> str | None:
    """Return why a secret is too weak to sign tokens with, as a clause without the secret; None if it is not.

    A secret made by `secrets.token_urlsafe(32)`, `secrets.token_hex(16)` or `openssl rand -base64 32` has no problem.
    Weak are: fewer than 32 bytes (RFC 7518, 3.2, for HS256); a few characters that are repeated or counted up; a value
    from documentation; and what consists of the words of placeholders, such as `changeme-changeme-changeme-changeme`.
    """
    if len(secret.encode(errors="surrogatepass")) < _MINIMUM_BYTES:
        return f"shorter than {_MINIMUM_BYTES} bytes"
    if secret.lower() in _DOCUMENTED or secret.startswith("django-insecure-"):
        return "published in documentation, so that everybody knows it"
    if _is_repetitive(secret):
        return "repetitive"
    if _is_placeholder(secret):
        return "a placeholder, made of words that documentation uses"
    return None


def _is_repetitive(secret: str) -> bool:
    """Tell whether a secret repeats a short part of it, or mostly goes on as it began, like `0123456789`."""
    count = len(secret) - 2
    triples = {secret[start : start + 3] for start in range(count)}
    # Random text hardly repeats three characters: even of 32 decimal digits, nine triples in ten are different.
    if len(triples) < 0.6 * min(count, _ENOUGH_TRIPLES):
        return True
    codes = [ord(character) for character in secret]
    even = sum(codes[at + 1] - codes[at] == codes[at + 2] - codes[at + 1] for at in range(count))
    return even > count / 2


def _is_placeholder(secret: str) -> bool:
    """Tell whether a secret consists of words of documentation, whatever stands between them."""
    # Whole runs of letters: parts of random ones spell short words by chance.
    others = [run for run in _RUN.findall(secret) if not (_OF_WORDS.fullmatch(run) or _BETWEEN_WORDS.fullmatch(run))]
    return sum(map(len, others)) < _FEWEST_CHARACTERS_BESIDE_WORDS
