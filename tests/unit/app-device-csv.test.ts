/** Device lists as people export them from a spreadsheet: every row is either good, or named with its field and reason. */
import { describe, expect, it } from 'vitest';
import { csvLine, readDeviceRows, wavesOf } from '../../app/device-csv.ts';

const read = (text: string) => readDeviceRows(new TextEncoder().encode(text));

describe('a CSV of devices', () => {
  it('may use commas or semicolons, a byte order mark, quotes, and any line ends', () => {
    const wanted = [
      { line: 2, device: { id: 'f-1', model: 'refrigerator', serial: 'SN 1', name: 'Kitchen; left, "big"' } },
      { line: 3, device: { id: 'f-2', model: 'refrigerator', claimable: true } },
    ];
    const commas =
      'id,model,serial,name,claimable\nf-1,refrigerator,SN 1,"Kitchen; left, ""big""",\nf-2,refrigerator,,,yes\n';
    const semicolons =
      '\ufeffID;Model;Serial;Name;Claimable\r\n f-1 ;refrigerator;SN 1;"Kitchen; left, ""big""";\r\nf-2;refrigerator;;;TRUE\r\n';
    for (const text of [commas, semicolons]) expect(read(text)).toEqual({ good: wanted, bad: [] });
  });

  it.each([
    ['f 1,refrigerator,,', 'id', /A-Z/],
    [',refrigerator,,', 'id', /missing/],
    ['f-1,,,', 'model', /missing/],
    [`f-1,refrigerator,${'x'.repeat(65)},`, 'serial', /64/],
    ['f-1,refrigerator,,maybe', 'claimable', /true or false/],
    ['f-1,refrigerator', 'row', /2 fields where the header has 4/],
    ['f-1,refrigerator,,,,', 'row', /6 fields/],
    ['ok,refrigerator,,', 'id', /line 2 already/],
    ['f-1,refrigerator,SN-0,', 'serial', /line 2 already/],
  ])('names field and reason of the row %j, and keeps its neighbours', (row, field, reason) => {
    const { good, bad } = read(`id,model,serial,claimable\nok,refrigerator,SN-0,\n${row}\nalso-ok,refrigerator,,\n`);
    expect(good.map((one) => one.device.id)).toEqual(['ok', 'also-ok']);
    expect(bad).toEqual([{ line: 3, id: expect.any(String), field, reason: expect.stringMatching(reason) }]);
  });

  it.each([
    ['id,model,colour\n', /unknown column "colour"/],
    ['id,serial\n', /no column "model"/],
    ['id,model,id\n', /twice/],
    ['', /no column "id"/],
    ['id,model\n"f-1,refrigerator\n', /not a readable CSV/],
  ])('is refused whole when it is %j', (text, message) => {
    expect(() => read(text)).toThrow(message);
  });

  it('names the device above each one, and those come first, in whatever order the file has them', () => {
    const { good, bad } = read(
      'id,model,parent,batch\nsensor,refrigerator,hub,B7\nhub,refrigerator,van,\nvan,electric-van,,\nother,refrigerator,registered-before,\n',
    );
    expect(bad).toEqual([]);
    expect(good[0]?.device).toEqual({ id: 'sensor', model: 'refrigerator', parent: 'hub', batch: 'B7' });
    expect(wavesOf(good).map((wave) => wave.map((row) => row.device.id))).toEqual([
      ['van', 'other'],
      ['hub'],
      ['sensor'],
    ]);
    const circle = read('id,model,parent\na,m,b\nb,m,a\n').good;
    expect(wavesOf(circle)).toEqual([circle]);
  });

  it('is refused whole when it is not UTF-8', () => {
    expect(() => readDeviceRows(Buffer.from([0x69, 0x64, 0x2c, 0xe9, 0x0a]))).toThrow(/UTF-8/);
  });
});

describe('a line of CSV', () => {
  it.each([
    [['a', 'b c'], 'a,b c\r\n'],
    [['a,b', 'say "hi"', 'x;y', 'two\nlines'], '"a,b","say ""hi""","x;y","two\nlines"\r\n'],
    [['=1+1', '+1', '-1', '@x', '\tx'], "'=1+1,'+1,'-1,'@x,'\tx\r\n"],
    [['=HYPERLINK("x","y")'], '"\'=HYPERLINK(""x"",""y"")"\r\n'],
  ])('of %j is safe to open', (cells, line) => {
    expect(csvLine(cells)).toBe(line);
  });
});
