package auditlog

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// packing is a form of files that is recognised by how they begin.
type packing struct {
	magic string
	at    int // where the magic is
	name  string
	// unpack is the command that writes the contents of a file to standard output.
	unpack string
}

// unread are the packings that the tool cannot read: what comes out of them by chance is no answer.
var unread = []packing{
	{magic: "\xfd7zXZ\x00", name: "compressed by xz", unpack: "xz -dc"},
	{magic: "\x28\xb5\x2f\xfd", name: "compressed by zstd", unpack: "zstd -dc"},
	{magic: "\x04\x22\x4d\x18", name: "compressed by lz4", unpack: "lz4 -dc"},
	{magic: "\x02\x21\x4c\x18", name: "compressed by lz4", unpack: "lz4 -dc"},
	{magic: "\x5d\x00\x00", name: "compressed by lzma", unpack: "xz --format=lzma -dc"},
	{magic: "LZIP", name: "compressed by lzip", unpack: "lzip -dc"},
	{magic: "\x89LZO\x00\r\n\x1a\n", name: "compressed by lzop", unpack: "lzop -dc"},
	{magic: "\xff\x06\x00\x00sNaPpY", name: "compressed by snappy", unpack: "snzip -dc"},
	{magic: "\x1f\x9d", name: "compressed by compress", unpack: "gzip -dc"},
	{magic: "\x1f\xa0", name: "compressed by compress", unpack: "gzip -dc"},
	{magic: "\x1f\x1e", name: "compressed by pack", unpack: "gzip -dc"},
	{magic: "PK\x03\x04", name: "a zip archive", unpack: "unzip -p"},
	{magic: "PK\x05\x06", name: "a zip archive", unpack: "unzip -p"},
	{magic: "7z\xbc\xaf\x27\x1c", name: "a 7z archive", unpack: "7z x -so"},
	{magic: "Rar!\x1a\x07", name: "a rar archive", unpack: "unrar p -inul"},
	{magic: "ustar", at: 257, name: "a tar archive", unpack: "tar -xOf"},
	{magic: "age-encryption.org/", name: "encrypted by age", unpack: "age -d"},
	{magic: "-----BEGIN PGP MESSAGE", name: "encrypted by PGP", unpack: "gpg -d"},
	{magic: "PAR1", name: "a Parquet file; write its entries as JSON, one a line"},
	{magic: "<json:object", name: "in the format jsonx; this tool reads the audit device's format json"},
}

// UnreadableError says why a file cannot be read, and how it could.
type UnreadableError struct {
	packing packing
	// File is the file's name, if it has one.
	File string
}

func (e *UnreadableError) Error() string {
	if e.packing.unpack == "" {
		return "it is " + e.packing.name
	}
	return fmt.Sprintf("it is %s, which this tool does not read; unpack it into standard input: %s | adtokens-audit … -", e.packing.name, strings.TrimSpace(e.packing.unpack+" "+e.File))
}

const (
	// sniffed is how many bytes of a file are looked at, at most, to tell its form.
	sniffed = 64 << 10
	// maxPackings is how often a file may be compressed.
	maxPackings = 4
)

// Plain returns the text of a file, which may be compressed: gzip and bzip2 are recognised by their content and read, and
// other forms are recognised and refused. UTF-16 becomes UTF-8.
func Plain(file io.Reader) (io.Reader, error) {
	for range maxPackings {
		buffered := bufio.NewReaderSize(file, sniffed) // reads larger than its buffer go past it
		head, _ := buffered.Peek(4)                    // a shorter file is not compressed
		if bytes.HasPrefix(head, []byte("\x1f\x8b")) {
			unzipped, err := gzip.NewReader(buffered)
			if err != nil {
				return nil, err
			}
			file = unzipped
			continue
		}
		if len(head) == 4 && bytes.HasPrefix(head, []byte("BZh")) && '1' <= head[3] && head[3] <= '9' {
			file = bzip2.NewReader(buffered)
			continue
		}
		if err := refuse(buffered); err != nil {
			return nil, err
		}
		return decode(buffered)
	}
	return nil, errors.New("it is compressed again and again")
}

// refuse returns an error for a form that the tool does not read.
func refuse(file *bufio.Reader) error {
	start, _ := file.Peek(1)
	if len(start) == 0 || start[0] == '{' { // most logs; more might not be there yet
		return nil
	}
	head, _ := file.Peek(file.Buffered())
	for _, p := range unread {
		if len(head) < p.at+len(p.magic) && (p.at > 0 || bytes.HasPrefix([]byte(p.magic), head)) && !bytes.ContainsRune(head, '\n') {
			head, _ = file.Peek(p.at + len(p.magic))
		}
		if len(head) >= p.at && bytes.HasPrefix(head[p.at:], []byte(p.magic)) {
			return &UnreadableError{packing: p}
		}
	}
	if head[0]&0xf0 == 0x50 && len(head) >= 4 && string(head[1:4]) == "\x2a\x4d\x18" { // a frame to skip
		return &UnreadableError{packing: packing{name: "compressed by zstd or lz4", unpack: "zstd -dc"}}
	}
	return nil
}

// decode returns text in UTF-8 without a byte order mark.
func decode(file *bufio.Reader) (io.Reader, error) {
	head, _ := file.Peek(1)
	if len(head) == 0 || head[0] == '{' && !hasZeros(file) {
		return file, nil
	}
	head, _ = file.Peek(4)
	for _, mark := range []struct {
		bytes string
		order binary.ByteOrder // nil for UTF-8
	}{{"\xef\xbb\xbf", nil}, {"\xff\xfe", binary.LittleEndian}, {"\xfe\xff", binary.BigEndian}} {
		switch {
		case bytes.HasPrefix(head, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(head, []byte("\x00\x00\xfe\xff")):
			return nil, &UnreadableError{packing: packing{name: "text in UTF-32", unpack: "iconv -f UTF-32 -t UTF-8"}}
		case !bytes.HasPrefix(head, []byte(mark.bytes)):
			continue
		}
		if _, err := file.Discard(len(mark.bytes)); err != nil || mark.order == nil {
			return file, err
		}
		return &utf16Reader{in: file, order: mark.order}, nil
	}
	if order := unmarkedOrder(head); order != nil {
		return &utf16Reader{in: file, order: order}, nil
	}
	return file, nil
}

// unmarkedOrder recognises UTF-16 without a byte order mark: two characters of ASCII.
func unmarkedOrder(head []byte) binary.ByteOrder {
	switch {
	case len(head) < 4:
		return nil
	case head[0] != 0 && head[1] == 0 && head[2] != 0 && head[3] == 0:
		return binary.LittleEndian
	case head[0] == 0 && head[1] != 0 && head[2] == 0 && head[3] != 0:
		return binary.BigEndian
	}
	return nil
}

func hasZeros(file *bufio.Reader) bool {
	head, _ := file.Peek(2)
	return len(head) == 2 && head[1] == 0
}

// utf16Reader reads UTF-16 as UTF-8.
type utf16Reader struct {
	in    *bufio.Reader
	order binary.ByteOrder
	out   []byte // not read yet
	err   error
}

func (u *utf16Reader) Read(buffer []byte) (int, error) {
	for len(u.out) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		u.fill()
	}
	n := copy(buffer, u.out)
	u.out = u.out[n:]
	return n, nil
}

// fill decodes what there is, at least one character.
func (u *utf16Reader) fill() {
	u.out = u.out[:0]
	for len(u.out) == 0 || u.in.Buffered() >= 4 && len(u.out) < sniffed {
		r, err := u.next()
		if err != nil {
			u.err = err
			return
		}
		if utf16.IsSurrogate(r) {
			low, err := u.next()
			if err != nil {
				u.err = err
			}
			r = utf16.DecodeRune(r, low)
		}
		u.out = utf8.AppendRune(u.out, r)
	}
}

func (u *utf16Reader) next() (rune, error) {
	pair, err := u.in.Peek(2)
	if len(pair) < 2 {
		if len(pair) == 1 {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	r := rune(u.order.Uint16(pair))
	_, err = u.in.Discard(2)
	return r, err
}
