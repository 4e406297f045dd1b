policy diff old.json tighter.json --calls calls.jsonl
