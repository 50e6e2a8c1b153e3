"""The questions and the changes, in the words of the domain; each collection works on the session it is given."""
