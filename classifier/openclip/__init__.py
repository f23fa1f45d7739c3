"""open_clip models behind the clip detector: finding weights, preparing pixels, encoding pictures and words."""
