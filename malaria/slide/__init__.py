"""A slide: the photographs of a patient's smear, their cells called and counted, and its parasitemia."""
