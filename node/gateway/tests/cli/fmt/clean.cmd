policy fmt --check laid.json
