"""Tell parasitized from uninfected red blood cells: the library under the pipeline in `stages/`."""
