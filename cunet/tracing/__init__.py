"""One forward and backward pass looked at: what every layer computes, learns and sees."""
