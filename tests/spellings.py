"""One e-mail address in eight spellings."""

# One address: cases, surrounding spaces, decomposed letters, a domain in Unicode and in IDNA.
TYPED = "Jörg@Bücher.example.com"
SPELLINGS = [
    "Jörg@Bücher.example.com",
    "jörg@bücher.example.com",
    "JÖRG@BÜCHER.EXAMPLE.COM",
    "Jo\u0308rg@Bu\u0308cher.example.com",
    "  jörg@bücher.example.com\t\n",
    "jörg@xn--bcher-kva.example.com",
    "JÖRG@XN--BCHER-KVA.EXAMPLE.COM",
    "jörg@bücher。example。com",
]
