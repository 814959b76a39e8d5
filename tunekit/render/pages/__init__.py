"""Pictures and pages: a plan and a search as HTML that loads nothing from anywhere."""
