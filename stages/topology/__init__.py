"""`topology init | validate | schema | learn | show`: a site file begun, checked, and held against what people did."""
