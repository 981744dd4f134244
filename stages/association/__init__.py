"""Who is who: priors as evidence, calibration, clustering, links and the number of people."""
