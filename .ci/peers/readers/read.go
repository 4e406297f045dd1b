// Go's encoding/json over the documents that examples/documents.rs prints: says what it reads
// otherwise.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"strings"
)

// Every scalar and every empty array or object, as the printer would write it.
func walk(value any, path string, into map[string]string) {
	switch value := value.(type) {
	case nil:
		into[path] = "z"
	case bool:
		into[path] = fmt.Sprint("b ", value)
	case string:
		into[path] = fmt.Sprintf("s %x", value)
	case float64:
		into[path] = fmt.Sprintf("n %016x %.0f", math.Float64bits(value+0), value+0)
	case []any:
		into[path] = "a"
		for index, element := range value {
			walk(element, fmt.Sprint(path, "/i", index), into)
			delete(into, path)
		}
	case map[string]any:
		into[path] = "o"
		for key, member := range value {
			walk(member, fmt.Sprintf("%s/k%x", path, key), into)
			delete(into, path)
		}
	}
}

func main() {
	file, _ := os.Open(os.Args[1])
	lines := bufio.NewScanner(file)
	read, text, documents, paths, skipped := map[string]string{}, "", 0, 0, 0
	for more := lines.Scan(); more || len(read) > 0; more = lines.Scan() {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		path, said, valued := strings.Cut(rest, " ")
		if kind == "doc" || !more {
			bytes, _ := hex.DecodeString(path)
			var document any
			err := json.Unmarshal(bytes, &document)
			if err != nil || len(read) > 0 {
				log.Fatalf("%s: %v; the gate does not see %v in %s", bytes, err, read, text)
			}
			walk(document, "-", read)
			text, documents = string(bytes), documents+1
			continue
		}
		here := read[path]
		bits, _, _ := strings.Cut(said, " -")
		switch ambiguous := said == "? ?" && here[0] == 'n'; {
		case ambiguous:
			skipped++
		case valued && here != kind+" "+said && !strings.HasPrefix(here, "n "+bits+" "), !valued && here != kind:
			log.Fatalf("%s: the gate reads %s, Go %s", text, lines.Text(), here)
		}
		delete(read, path)
		paths++
	}
	fmt.Printf("Go: %d documents, %d paths, %d of them ambiguous numbers\n", documents, paths, skipped)
}
