"""One module a source of images, named as `download.source` names it.

Each has `write_cells(params: Download, zip: Path) -> pandas.DataFrame`, which writes the images to a canonical archive
(`malaria.core.archive.write_archive`) and returns the index: a row an image, in the order of the archive.
"""
