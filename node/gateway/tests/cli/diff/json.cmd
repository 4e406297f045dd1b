policy diff old.json new.json --calls calls.jsonl --output json
