"""The colors of variants, for figures, pages and MLflow's charts; importing this module does not import matplotlib."""

BLACK = "#1f2328"
# Okabe and Ito's hues, distinct for every kind of color vision and dark enough for text; the first variant is black
PALETTE = (BLACK, "#0065a8", "#bf4f00", "#00795a", "#a8508a", "#856600", "#2c6d94")
