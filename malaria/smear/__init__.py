"""From what a microscope's camera sees to red blood cells, cut out of their surroundings."""
