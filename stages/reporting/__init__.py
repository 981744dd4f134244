"""The pages a person looks at: tables to facts, facts to templates, plots as hand-made inline SVG."""
