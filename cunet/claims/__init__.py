"""The claims of the paper of 2015 against a cross-validation of one's own, as a page."""
