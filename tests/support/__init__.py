"""Parts that tests share: real engines, real processes, waiting for conditions."""
