policy eval --policy refunds.json --call calls.jsonl --jsonl --trace
