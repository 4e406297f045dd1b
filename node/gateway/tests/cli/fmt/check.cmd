policy fmt --check loose.json errors.json laid.json
