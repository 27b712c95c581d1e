"""What all tests share: hypothesis without deadlines, because sanitizer builds and busy machines are slow."""

import os

import hypothesis

hypothesis.settings.register_profile("cconv", deadline=None, print_blob=True, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("cconv")
