policy diff old.json new.json
