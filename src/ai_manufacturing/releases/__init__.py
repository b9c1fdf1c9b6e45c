"""Write, audit, publish: a refresh builds in private, and readers only ever see a whole release."""
