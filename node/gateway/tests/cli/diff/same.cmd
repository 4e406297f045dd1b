policy diff old.json same.json --calls calls.jsonl
