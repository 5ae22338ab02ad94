"""What the page of a trace adds to the style of the report."""

STYLE = """
.u { list-style: none; margin: 1rem 0; padding: .6rem .8rem; background: var(--card);
     border-radius: 8px; font-size: .85rem; }
.u li { display: grid; grid-template-columns: 1fr auto 1fr; gap: .2rem .6rem; align-items: center;
        padding: .15rem calc(var(--i) * min(2.5rem, 3vw)); }
.u li.bottom { display: block; text-align: center; }
.u b { font-weight: normal; color: var(--soft); text-align: center; }
.u div { display: flex; flex-wrap: wrap; gap: 0 .7rem; }
.u div:last-child { justify-content: flex-end; }
.u .bottom div { justify-content: center; }
.figures { display: grid; gap: 1rem; margin: .8rem 0;
           grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); }
.figures figure, .strip figure { margin: 0; }
.figures img, .boxed { display: block; width: 100%; border-radius: 4px; }
.figures img, .strip img { image-rendering: pixelated; }
#field .figures { grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
.boxed rect, .boxed path { fill: none; stroke-width: 2px; vector-effect: non-scaling-stroke; }
.boxed .out { stroke: #f0e442; }
.boxed .formula { stroke: #56b4e9; stroke-width: 4px; }
.boxed .measured { stroke: #ff8c1a; }
.boxed .pixel { stroke: #ff3030; }
.line { display: inline-block; width: 1.6em; height: .35em; vertical-align: .15em; }
.line.formula { background: #56b4e9; }
.line.measured { background: #ff8c1a; }
.signed { display: inline-block; width: 4em; height: .7em; border-radius: 2px;
          background: linear-gradient(90deg, #78c8ff, #000, #ffaa3c); }
.layer { scroll-margin-top: .5rem; }
.layer h3 small { font-weight: normal; color: var(--soft); }
.strips { display: grid; grid-template-columns: 1fr 1fr; gap: .4rem 1.5rem; }
.strip { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .4rem; }
.strip img { display: block; width: 100%; border-radius: 3px; }
.strip figcaption { font-size: .75rem; }
@media (max-width: 700px) {
  .strips { grid-template-columns: 1fr; }
  .u { padding: .5rem; }
  .figures { grid-template-columns: 1fr 1fr; gap: .7rem; }
  #field .figures { grid-template-columns: 1fr; }
}
"""
