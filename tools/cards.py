"""参考卡片：一个名字的参数、类型、意思、缺省、返回、会报的错，源码折在下面。

全从源码读：写在参数后面的注释就是它的意思，于是类型是写全的，装饰器改不了签名。
"""
import ast
import html
import io
import re
import tokenize

MAGIC = re.compile(r'^[%!].*$', re.M)


def tree(code):
    "一个单元格的语法树；不是 Python 的是 None"
    try:
        return ast.parse(MAGIC.sub('', code))
    except SyntaxError:
        return None


def defined(code):
    "代码里定义的函数和类 → 源码；`@patch`的写成`类.方法`"
    found = {}
    lines = code.splitlines()
    for node in tree(code).body if tree(code) else ():
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        marks = [ast.unparse(mark).split('(')[0] for mark in node.decorator_list]
        owner = 'patch' in marks and node.args.args[0].annotation
        name = f'{ast.unparse(owner)}.{node.name}' if owner else node.name
        first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
        found[name] = '\n'.join(lines[first - 1:node.end_lineno])
    return found


def comments(code):
    "行号 → 这一行的注释"
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return {token.start[0]: token.string.lstrip('# ')
            for token in tokens if token.type == tokenize.COMMENT}


def rich(text):
    "反引号里的变成代码"
    return re.sub(r'`([^`]+)`', r'<code>\1</code>', html.escape(text, quote=False))


def code(node):
    "一小段代码；没有是空的"
    return f'<code>{html.escape(ast.unparse(node), quote=False)}</code>' if node else ''


def arguments(function, notes):
    "函数的参数：名字、类型、意思、缺省"
    spec = function.args
    plain = spec.posonlyargs + spec.args
    defaults = [None]*(len(plain) - len(spec.defaults)) + spec.defaults
    starred = [(star, arg) for star, arg in (('*', spec.vararg), ('**', spec.kwarg)) if arg]
    every = [('', arg, value) for arg, value in zip(plain, defaults)]
    every += [('', arg, value) for arg, value in zip(spec.kwonlyargs, spec.kw_defaults)]
    every += [(star, arg, None) for star, arg in starred]
    for star, arg, value in every:
        note = notes.get((value or arg).end_lineno, '')
        if arg.arg not in ('self', 'cls') and (note or not star):
            yield f'<code>{star}{arg.arg}</code>', code(arg.annotation), rich(note), code(value)


def fields(node, notes):
    "数据类的字段：名字、类型、意思、缺省"
    for item in node.body:
        if isinstance(item, ast.AnnAssign):
            note = rich(notes.get(item.end_lineno, ''))
            yield code(item.target), code(item.annotation), note, code(item.value)


def errors(node):
    "它自己会报的错"
    for one in ast.walk(node):
        if isinstance(one, ast.Raise) and isinstance(one.exc, ast.Call):
            call = one.exc
            kind = call.args[0] if ast.unparse(call.func) == 'fault' and call.args else call.func
            yield ast.unparse(kind)


def line(tag, row, kept):
    "表的一行，只要kept这几列"
    inside = ''.join(f'<{tag}>{row[i]}</{tag}>' for i in kept)
    return f'<tr>{inside}</tr>'


def table(head, rows):
    "一张表；没有内容的列不要"
    rows = list(rows)
    kept = [i for i, column in enumerate(zip(*rows)) if any(column)]
    if not rows:
        return ''
    lines = [line('th', head, kept), *(line('td', row, kept) for row in rows)]
    return f'<table>{"".join(lines)}</table>'


def reference(name, text, url):
    "一张卡片的三段：表和折叠的开头，源码，结尾"
    node, notes = tree(text).body[0], comments(text)
    said = ast.get_docstring(node) or ''
    parts = [f'<p><code class="name">{html.escape(name)}</code>　{rich(said)}</p>']
    head = ('参数', '类型', '意思', '缺省')
    if isinstance(node, ast.ClassDef):
        own = [item for item in node.body if isinstance(item, ast.FunctionDef)]
        init = [item for item in own if item.name == '__init__']
        rows = arguments(init[0], notes) if init else fields(node, notes)
        parts.append(table(head, rows))
        parts.append(table(('方法', '做什么'), (
            (code(ast.Name(item.name)), rich(ast.get_docstring(item) or ''))
            for item in own if item.name[0] != '_')))
    else:
        parts.append(table(head, arguments(node, notes)))
        if node.returns:
            note = notes.get(node.returns.end_lineno, '')
            parts.append(f'<p>返回{code(node.returns)}{"：" if note else ""}{rich(note)}</p>')
    kinds = '、'.join(f'<code>{kind}</code>' for kind in dict.fromkeys(errors(node)))
    if kinds:
        parts.append(f'<p>会报{kinds}</p>')
    link = f'　<a href="{html.escape(url)}">GitHub上的</a>' if url else ''
    opening = (f'<div class="card" id="{name.lower()}" data-name="{html.escape(name)}" '
               f'data-text="{html.escape(said)}">{"".join(parts)}'
               f'<details><summary>源码{link}</summary>\n')
    return opening, text, '</details></div>\n'
