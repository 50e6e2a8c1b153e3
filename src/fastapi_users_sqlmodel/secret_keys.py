"""Which secrets are too weak to sign tokens with: short ones, repetitive ones, and those of documentation."""

import re

_MINIMUM_BYTES = 32
# What is left of a placeholder without its words: a company's name, a year.
_FEWEST_CHARACTERS_BESIDE_WORDS = 8
# Beyond this many different triples of characters, a secret is long enough to repeat a few.
_ENOUGH_TRIPLES = 64
# Up to so many sequences are interleaved in a secret that is typed like `a1b2c3`.
_LONGEST_STEP = 4

# Values that look random and stand in documentation, in lower case.
_DOCUMENTED = frozenset(
    {
        # FastAPI's tutorial on OAuth2 with JWT.
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        # Flask's quick start, and its page on configuration.
        "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
    }
)
# The words that placeholders are made of, and walks over a keyboard.
_TEXT = (
    "0123456789 123456789 1234567890 a abcdefghijklmnopqrstuvwxyz algorithm an and any anybody app application "
    "asdfghjkl at auth backend bar base baz be bearer before bit bits by byte bytes can change char character "
    "characters chars command commit company cookie copy create created default demo deploy deployment dev development "
    "django do dont dummy easy encryption enter env environment everybody example fastapi fill fixme flask foo for "
    "generate generated goes guess hash here hex hexadecimal hs i in insert internal is it jwt keep key keyboard keys "
    "know least length local localhost long longer me min minimum more must my never no nobody not of ok one only "
    "openssl or output own pass password paste phrase placeholder please private prod production put python qwerty "
    "qwertyuiop rand random really replace result run safe sample secret secrets secure security server session "
    "sessions set setting settings sha share should sign signing some something stage staging string strong such super "
    "test testing text that the this to token tokens top ultra unguessable unique unknown unsafe urlsafe use used user "
    "users value very was which will with you your yours zxcvbnm"
)
_WORDS = tuple(_TEXT.split())
_RUN = re.compile(r"[a-z]+|[0-9]+|[^a-z0-9]+", re.IGNORECASE)
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
    return any(_goes_on_evenly(secret, step) for step in range(1, _LONGEST_STEP + 1))


def _goes_on_evenly(secret: str, step: int) -> bool:
    """Tell whether most characters continue what those one and two steps before them began: `abc`, or `a1b2c3`."""
    codes = [ord(character) for character in secret]
    firsts = range(len(codes) - 2 * step)
    even = sum(codes[at + step] - codes[at] == codes[at + 2 * step] - codes[at + step] for at in firsts)
    return even > len(firsts) / 2


def _is_placeholder(secret: str) -> bool:
    """Tell whether a secret consists of words of documentation, whatever stands between them."""
    # Whole runs of letters: parts of random ones spell short words by chance.
    others = [run for run in _RUN.findall(secret) if not (_is_of_words(run.lower()) or _BETWEEN_WORDS.fullmatch(run))]
    return sum(map(len, others)) < _FEWEST_CHARACTERS_BESIDE_WORDS


def _is_of_words(run: str) -> bool:
    """Tell whether a run of letters or digits is a word, or several without anything between them."""
    # A regular expression would try every way to split a run, and some words can be split in many ways.
    ends = {0}
    for start in range(len(run)):
        if start in ends:
            ends.update(start + len(word) for word in _WORDS if run.startswith(word, start))
    return len(run) in ends
