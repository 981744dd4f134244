"""`topology init | validate | schema | learn`: a site file begun, checked, and held against what people did."""
