policy diff old.json ../check/unknown_field.json
