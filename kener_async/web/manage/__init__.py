"""The signed-in pages, one file per noun, and the frame around them."""
